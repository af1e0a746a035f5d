"""A real Airflow and a local factory in processes of their own, for `make up` and `make live`."""
