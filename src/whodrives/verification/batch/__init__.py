"""Many files to fingerprints: inputs, workers on one or several machines, and a folder of Parquet parts."""
