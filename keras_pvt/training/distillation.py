"""Learning from a teacher, on top of `keras.distillation`."""

import keras


class HardDistillation(keras.distillation.DistillationLoss):
    """Cross-entropy of the student with the most likely class of the teacher.
    Source:
        Touvron et al., DeiT, arXiv 2012.12877, section 4, here with one head for both
        targets, as PVT has no distillation token.
    """

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        classes = keras.ops.argmax(teacher_outputs, axis=-1)
        losses = keras.losses.sparse_categorical_crossentropy(
            classes, student_outputs, from_logits=True
        )
        return keras.ops.mean(losses)

    def get_config(self):
        return {}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def with_teacher(
    student: keras.Model,
    teacher: keras.Model,
    kind: str = "hard",
    weight: float = 0.5,
    temperature: float = 1.0,
) -> keras.Model:
    """Return a model to compile and fit, which trains a student with a teacher.

    Args:
        student: gives logits `(B, classes)`.
        teacher: gives logits of the same classes for the same images; it is not trained.
        kind: "hard", or "soft": Kullback-Leibler divergence from the teacher's distribution,
            averaged over images (DeiT's code averages over the classes too).
        weight: share of the teacher in the loss, 0 to 1.
        temperature: of "soft", above 0.
    Returns:
        A `keras.distillation.Distiller`.
    Raises:
        ValueError: an unknown kind, or outputs of different shapes.
    """
    if kind not in ("hard", "soft"):
        raise ValueError(f"`kind` must be hard or soft; got {kind!r}.")
    if teacher.output_shape != student.output_shape:
        raise ValueError(
            f"the teacher gives {teacher.output_shape} and the student {student.output_shape}; "
            "both must give logits of the same classes."
        )
    loss = HardDistillation()
    if kind == "soft":
        # By its name, Keras 3.15 takes the divergence of logits, as if they were probabilities.
        divergence = keras.losses.KLDivergence()
        loss = keras.distillation.LogitsDistillation(temperature=temperature, loss=divergence)
    return keras.distillation.Distiller(
        teacher=teacher,
        student=student,
        distillation_losses=loss,
        student_loss_weight=1 - weight,
    )
