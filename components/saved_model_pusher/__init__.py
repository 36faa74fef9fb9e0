"""SavedModelPusher: delivers a SavedModel that all gates blessed."""

from edgetune.components.saved_model_pusher.component import SavedModelPusher as SavedModelPusher
