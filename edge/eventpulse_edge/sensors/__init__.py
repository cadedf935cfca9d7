"""Sensors: one small class each, behind one interface."""
