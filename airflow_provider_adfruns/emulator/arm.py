"""What Resource Manager refuses before Data Factory sees a call: versions and places it does not know."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from airflow_provider_adfruns.emulator.refusals import Refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from airflow_provider_adfruns.emulator.definitions import FactoryIdentity
    from airflow_provider_adfruns.emulator.routes import Route

API_VERSION = "2018-06-01"


def check_version(query: Mapping[str, str], location: str) -> None:
    """Refuse a call that names no api-version, or another one.

    :param query: the query string's parameters, their names in lower case.
    :param location: where the factory is.
    """
    version = query.get("api-version")
    if not version:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise Refusal(HTTPStatus.BAD_REQUEST, "MissingApiVersionParameter", message, arm=True)
    if version != API_VERSION:
        message = (
            f"No registered resource provider found for location '{location}' and API version '{version}' for"
            f" type 'factories'. The supported api-versions are '2017-09-01-preview, {API_VERSION}'. The"
            f" supported locations are '{location}'."
        )
        raise Refusal(HTTPStatus.BAD_REQUEST, "NoRegisteredProviderFound", message, arm=True)


def check_subscription(route: Route, factory: FactoryIdentity) -> None:
    """Refuse a call to a subscription that is not the factory's."""
    if route.subscription_id.lower() != factory.subscription_id.lower():
        message = f"The subscription '{route.subscription_id}' could not be found."
        raise Refusal(HTTPStatus.NOT_FOUND, "SubscriptionNotFound", message, arm=True)


def check_factory(route: Route, factory: FactoryIdentity) -> None:
    """Refuse a call to a resource group or a factory that does not exist."""
    if route.resource_group.lower() != factory.resource_group.lower():
        message = f"Resource group '{route.resource_group}' could not be found."
        raise Refusal(HTTPStatus.NOT_FOUND, "ResourceGroupNotFound", message, arm=True)
    if route.factory.lower() != factory.name.lower():
        message = (
            f"The Resource 'Microsoft.DataFactory/factories/{route.factory}' under resource group"
            f" '{route.resource_group}' was not found. For more details please go to"
            " https://aka.ms/ARMResourceNotFoundFix"
        )
        raise Refusal(HTTPStatus.NOT_FOUND, "ResourceNotFound", message, arm=True)
