"""How the process is put together: settings, addresses, errors, the schedule, the embedded database."""
