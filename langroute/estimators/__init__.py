"""Estimators of each route's probability of success and token use on a step; prediction only, with numpy alone.

`langroute.learning` fits these models; policies and hosts only use them.
"""
