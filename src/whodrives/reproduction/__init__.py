"""The paper's tables again: which networks a table needs, training what is missing, evaluating, rendering."""
