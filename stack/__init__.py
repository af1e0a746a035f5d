"""A real Airflow and a local factory, each in processes of its own, for `make up` and `make live`; no part of the package."""
