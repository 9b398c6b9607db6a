"""Provider profiles: one file per provider, one frozen `ProviderProfile` each."""

from __future__ import annotations

from langroute.providers.profile import CacheRules, ErrorRule, ProviderProfile
from langroute.providers.registry import profile_of, profiles, register_provider, unregister_provider

__all__ = ["CacheRules", "ErrorRule", "ProviderProfile", "profile_of", "profiles", "register_provider", "unregister_provider"]
