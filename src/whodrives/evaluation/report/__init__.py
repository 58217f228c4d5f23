"""Reports of evaluation results: JSON, Markdown, LaTeX and one self-contained HTML page."""

from whodrives.evaluation.report.result import EvaluationResult, TableResult, from_json, read_result, to_json
from whodrives.evaluation.report.write import write_report

__all__ = ["EvaluationResult", "TableResult", "from_json", "read_result", "to_json", "write_report"]
