"""How is a policy learned from what happened, and proved before it is used?"""
