"""Tensor operations on torch and Triton: each a public function beside its plain reference."""
