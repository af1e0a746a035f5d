"""The Azure clouds: where each answers, signs in and shows Data Factory; addresses only."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_provider_adfruns.adf.errors import InvalidInput


@dataclass(frozen=True, slots=True)
class Cloud:
    """One Azure cloud.

    :param name: as ``az cloud list`` names it.
    :param arm: the endpoint of Azure Resource Manager.
    :param authority: the host that issues tokens.
    :param audience: whom the tokens are for.
    :param portal: the Azure portal.
    :param studio: ADF Studio's address, or None where it is not publicly known.
    """

    name: str
    arm: str
    authority: str
    audience: str
    portal: str
    studio: str | None

    @property
    def scope(self) -> str:
        """The scope to ask a token for."""
        return f"{self.audience}/.default"


_ALL = (
    Cloud(
        "AzureCloud",
        "https://management.azure.com",
        "https://login.microsoftonline.com",
        "https://management.azure.com",
        "https://portal.azure.com",
        "https://adf.azure.com",
    ),
    Cloud(
        "AzureUSGovernment",
        "https://management.usgovcloudapi.net",
        "https://login.microsoftonline.us",
        "https://management.core.usgovcloudapi.net",
        "https://portal.azure.us",
        "https://adf.azure.us",
    ),
    Cloud(
        "AzureChinaCloud",
        "https://management.chinacloudapi.cn",
        "https://login.chinacloudapi.cn",
        "https://management.chinacloudapi.cn",
        "https://portal.azure.cn",
        "https://adf.azure.cn",
    ),
    # Closed in October 2021; kept for connections that still name it.
    Cloud(
        "AzureGermanCloud",
        "https://management.microsoftazure.de",
        "https://login.microsoftonline.de",
        "https://management.core.cloudapi.de",
        "https://portal.microsoftazure.de",
        None,
    ),
    # Known from public code alone.
    Cloud(
        "USSec",
        "https://management.azure.microsoft.scloud",
        "https://login.microsoftonline.microsoft.scloud",
        "https://management.azure.microsoft.scloud",
        "https://portal.azure.microsoft.scloud",
        None,
    ),
    Cloud(
        "USNat",
        "https://management.azure.eaglex.ic.gov",
        "https://login.microsoftonline.eaglex.ic.gov",
        "https://management.azure.eaglex.ic.gov",
        "https://portal.azure.eaglex.ic.gov",
        None,
    ),
)
CLOUDS = {cloud.name: cloud for cloud in _ALL}
DEFAULT_CLOUD = CLOUDS["AzureCloud"]


def cloud_named(name: str | None) -> Cloud:
    """Return the cloud of that name, whatever its case; the public one for None or "".

    :raises InvalidInput: for a name that is none of them.
    """
    if not name:
        return DEFAULT_CLOUD
    for cloud in _ALL:
        if cloud.name.lower() == name.lower():
            return cloud
    raise InvalidInput(f"cloud: {name!r} is not known. Expected one of {', '.join(CLOUDS)}.")
