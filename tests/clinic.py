"""A clinic of two specialists and a generalist, on endpoints that are not there: tests put fakes in their place."""

CLINIC = """
name: clinic
models:
  one: {backend: endpoint, base_url: "http://127.0.0.1:9/v1", model: m, slots: 3}
  two: {backend: endpoint, base_url: "http://127.0.0.1:9/v1", model: m}
experts:
  heart: {model: one, description: An expert in heart who answers questions about heart and pulse.}
  glands: {model: two, description: An expert in glands who answers questions about glands and insulin.}
  general: {model: one}
router: {mode: tag, threshold: 0.5, fallback: general}
"""
