"""How likely is each route to succeed on a step, and what will it cost? Prediction only, with numpy alone.

`langroute.learning` fits what is here; policies and hosts only read it.
"""
