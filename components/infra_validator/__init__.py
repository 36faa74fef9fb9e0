"""InfraValidator: asks the SavedModel as a server would be asked, and blesses or refuses it."""

from edgetune.components.infra_validator.component import InfraValidator as InfraValidator
