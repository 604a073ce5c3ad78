"""Bulk work on the engines that people run; `make engines` runs all of them against the stand-in."""
