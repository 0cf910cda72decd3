"""The application of Daybook's workers: label `docs`, in the schemas of tenants."""
