"""What stands in for a Keras model: the same answers, by an engine where one can give them."""

import functools
import logging
from typing import Any

import numpy as np

from keras_pvt.engines import choice, table
from keras_pvt.engines.artifacts import Artifacts, UnusableError
from keras_pvt.engines.subject import Representative, Subject

logger = logging.getLogger("keras_pvt.engines")


class Network:
    """A model that an engine computes; where none can, Keras does, which is logged.

    Args:
        subject: the model.
        engine: name of an engine, "keras", or "auto" for the fastest.
        precision: "float32", "bfloat16" or "int8".
        representative: images for int8.
        make: whether to export where there is no artifact; else Keras computes then.
    Raises:
        ValueError, ImportError: see `keras_pvt.engines.table.check`.
    """

    any_batch = True  # without waiting for a compiler

    def __init__(
        self,
        subject: Subject,
        engine: str = table.AUTO,
        precision: str = "float32",
        representative: Representative | None = None,
        make: bool = True,
    ):
        table.check(engine, precision, representative is not None)
        self.subject, self.precision = subject, precision
        self.engine: str | None = None if engine == table.AUTO else engine
        self._representative = representative
        self._make = make
        self._artifacts: dict[str, Artifacts] = {}
        self._warned: set[str] = set()

    def predict_on_batch(self, images: np.ndarray) -> Any:
        """What the Keras model's own gives, as NumPy arrays.

        Args:
            images: `(B, H, W, channels)`, as the model takes them.
        """
        images = np.ascontiguousarray(images, "float32")
        if self.engine is None:
            self.engine = self._choose(images)
        if self.engine != table.KERAS:
            try:
                return self._of(self.engine).predict(images, self._make)
            except UnusableError as error:
                self._warn(error)
        return self._by_keras(images)

    @property
    def output_shape(self) -> Any:
        """Of the Keras model."""
        return self.subject.model.output_shape

    def _warn(self, error: UnusableError) -> None:
        """Say once why Keras computes; not where nobody asked for more."""
        if self._make and str(error) not in self._warned:
            self._warned.add(str(error))
            logger.warning("Keras computes: %s", error)

    def _of(self, engine: str) -> Artifacts:
        if engine not in self._artifacts:
            self._artifacts[engine] = Artifacts(
                self.subject, engine, self.precision, self._representative
            )
        return self._artifacts[engine]

    def _choose(self, images: np.ndarray) -> str:
        """The fastest engine of those that are installed."""
        engines = candidates(self.precision, self.subject.size)
        if not engines:
            logger.info(table.hint(self.precision))
            return table.KERAS
        if engines == table.having("int8") and self.precision == "int8":
            return engines[0]  # which Keras does not have
        kind = f"{self.precision}, {self.subject.size or 'any size'}"
        known = choice.remembered(kind, engines)
        if known is not None:
            return known
        if not self._make or not _keras_on_cpu():
            return table.KERAS
        contenders: dict[str, choice.Predict] = {}
        for engine in engines:
            try:
                self._of(engine).predict(images)
                contenders[engine] = self._of(engine).predict
            except UnusableError as error:
                logger.info("%s is left out: %s", engine, error)
        if not contenders:
            return table.KERAS
        self._by_keras(images[: choice.MOST])  # compiles
        contenders[table.KERAS] = self._by_keras
        fastest = choice.measured(kind, engines, contenders, images)
        self._artifacts = {fastest: self._artifacts[fastest]} if fastest in engines else {}
        return fastest

    def _by_keras(self, images: np.ndarray) -> Any:
        answers = self._keras.predict_on_batch(images)
        return answers if self.precision != "bfloat16" else _in_float32(answers)

    @functools.cached_property
    def _keras(self) -> Any:
        """The model, in the precision if Keras has it and it takes no longer."""
        from keras_pvt.ops import gains_by_bfloat16

        if self.precision != "bfloat16":
            return self.subject.model
        if not gains_by_bfloat16():
            logger.info("Keras computes in float32: on JAX on a CPU bfloat16 takes longer.")
            return self.subject.model
        from keras_pvt.exporting.subject import twin

        # Nothing is trained, so the weights are rounded here and not at each call.
        return twin(self.subject.model, "bfloat16")


def candidates(precision: str, size: tuple[int, int] | None) -> list[str]:
    """The engines that "auto" compares: of a model of any size those with one artifact for all."""
    names = table.installed(precision)
    if size is not None or precision == "int8":
        return names
    return [name for name in names if table.ENGINES[name].open_size]


def _keras_on_cpu() -> bool:
    """Whether Keras has no GPU or TPU, which no engine here would match."""
    from keras_pvt.ops import device

    return device()[0].startswith("cpu")


def _in_float32(answers: Any) -> Any:
    if isinstance(answers, dict):
        return {name: _in_float32(value) for name, value in answers.items()}
    if isinstance(answers, list):
        return [_in_float32(value) for value in answers]
    return np.asarray(answers, "float32")
