"""Boards that this machine reaches by itself: a kit goes there, and its receipt comes back."""

from pipeline.remote.carry import Brought, carry_out
from pipeline.remote.devices import DEVICES_FILE, Device, load_devices

__all__ = ["DEVICES_FILE", "Brought", "Device", "carry_out", "load_devices"]
