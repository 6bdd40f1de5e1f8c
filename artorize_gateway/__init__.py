"""The gateway under the name that launchers import: the same objects as artscraper_gateway's."""

from artscraper_gateway import GatewayConfig, create_app

__all__ = ["GatewayConfig", "create_app"]
