"""What the gateway lists, beyond LangChain's own methods."""

from __future__ import annotations

import texapi_core
from langchain_texapi._call_labels import RecordedChatModel
from langchain_texapi._errors import as_model_error
from langchain_texapi._profile import TableProfile
from texapi_core.adapter_base.connection import ConnectionParameters
from texapi_core.catalog import MAX_AGE, ModelInfo


class ListingChatModel(ConnectionParameters, RecordedChatModel):
    """A chat model that can read the gateway's list of models."""

    def list_models(self) -> list[ModelInfo]:
        """The models that the key can use."""
        try:
            return texapi_core.list_models(self._settings())
        except texapi_core.TexAPIError as error:
            raise as_model_error(error) from error.__cause__

    async def alist_models(self) -> list[ModelInfo]:
        """The models that the key can use. Async twin of `list_models`."""
        try:
            return await texapi_core.alist_models(self._settings())
        except texapi_core.TexAPIError as error:
            raise as_model_error(error) from error.__cause__

    def refresh_models(self, *, max_age: float = MAX_AGE) -> None:
        """Use the limits, capabilities and prices in the gateway's list instead of the bundled tables.

        They are in `profile` afterwards, unless you passed your own, and in models of this process that
        are made later with the same address. The list is read again after `max_age` seconds.

        Raises:
            texapi_core.TexAPIError: see `texapi_core.errors`.
        """
        try:
            texapi_core.refresh_models(self._settings(), max_age=max_age)
        except texapi_core.TexAPIError as error:
            raise as_model_error(error) from error.__cause__
        self._renew_profile()

    async def arefresh_models(self, *, max_age: float = MAX_AGE) -> None:
        """Async twin of `refresh_models`."""
        try:
            await texapi_core.arefresh_models(self._settings(), max_age=max_age)
        except texapi_core.TexAPIError as error:
            raise as_model_error(error) from error.__cause__
        self._renew_profile()

    def _renew_profile(self) -> None:
        if self.profile is None or isinstance(self.profile, TableProfile):
            self.profile = self._resolve_model_profile()
