"""What to cancel, rerun and wait for, and carrying it out; knows adf/ and nothing of Airflow."""
