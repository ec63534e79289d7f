"""What runs the model: DeviceSpec, the bundled devices, and the reader of device files."""

from aggsim.devices.catalog import device_ids, load_device
from aggsim.devices.parse import device_to_toml, device_values, parse_device, read_device
from aggsim.devices.spec import GP_DTYPES, MMA_DTYPES, DeviceSpec, LinkLevel

__all__ = [
    "GP_DTYPES",
    "MMA_DTYPES",
    "DeviceSpec",
    "LinkLevel",
    "device_ids",
    "device_to_toml",
    "device_values",
    "load_device",
    "parse_device",
    "read_device",
]
