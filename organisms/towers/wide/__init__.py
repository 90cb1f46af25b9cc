"""The ways to compute towers of one structure together, each of which agrees with computing them one by one."""
