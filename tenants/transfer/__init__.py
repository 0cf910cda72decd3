"""One tenant as a directory of files: export it by COPY, import it elsewhere. The base of moving a tenant.

`manifest` says what a directory holds and proves it, `tables` reads and writes a schema's tables, `companions` are
the tenant's rows of shared tables, `departure` writes a directory, `arrival` makes a tenant of it.
"""

from tenants.transfer.arrival import Imported, import_tenant
from tenants.transfer.companions import Companion, register
from tenants.transfer.departure import export_tenant, prove_final
from tenants.transfer.manifest import BadExport, Manifest

__all__ = [
    "BadExport",
    "Companion",
    "Imported",
    "Manifest",
    "export_tenant",
    "import_tenant",
    "prove_final",
    "register",
]
