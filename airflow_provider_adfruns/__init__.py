"""Cancel, wait for and rerun Azure Data Factory runs from Apache Airflow."""

__version__ = "0.1.0"
