"""The programs that are measured, each started by the benchmark and stopped by it."""
