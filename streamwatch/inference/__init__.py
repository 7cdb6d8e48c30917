"""The one owner of the device, live and offline."""
