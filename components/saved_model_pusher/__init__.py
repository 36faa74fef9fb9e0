"""SavedModelPusher: delivers a SavedModel that both gates blessed."""

from edgetune.components.saved_model_pusher.component import SavedModelPusher as SavedModelPusher
