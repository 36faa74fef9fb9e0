"""Check network, devices and signing key, so that no hours are spent on a setting that cannot work."""

from __future__ import annotations

from edgetune.modules.bundle.signing import check_signer
from edgetune.modules.models.backbone import assemble
from edgetune.modules.models.blocks import unfreeze
from edgetune.modules.models.weights import load_weights
from edgetune.modules.settings.run import ModelSettings, PushSettings, TrainingSettings
from edgetune.modules.training import devices
from edgetune.modules.training.distribution import check_in_process


def check_network(model: ModelSettings, training: TrainingSettings) -> None:
    """Build the backbone, load its weights and unfreeze its top.

    Raises:
        ConfigError: The architecture refuses the settings, or has no such part to unfreeze.
        WeightsError: The weights cannot be had, or do not fit.
    """
    backbone = assemble(model)
    load_weights(backbone, model)
    if training.fine_tune.epochs:
        unfreeze(backbone, training.fine_tune.unfreeze)


def check_devices(training: TrainingSettings) -> devices.Choice:
    """Choose the device to train on. TensorFlow must not have computed anything before.

    Raises:
        ConfigError: Several workers are wanted, which a run in one process has not.
        TrainingError: There are no such devices.
    """
    devices.prepare()
    check_in_process(training.distribution)
    return devices.choose(training)


def check_push(push: PushSettings) -> None:
    """Sign a test file, if bundles are to be signed.

    Raises:
        ConfigError: The key, or the tool that signs, cannot be used.
    """
    if push.sign_key is not None:
        check_signer(push.sign_key, push.sign_tool)
