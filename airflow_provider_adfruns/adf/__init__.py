"""What Azure Data Factory is and does; nothing of Airflow lives here."""
