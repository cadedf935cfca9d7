"""The agent on a device: samples sensors, spools durably, delivers exactly once."""

VERSION = "0.1.0"
