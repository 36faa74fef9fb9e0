"""SavedModelPusher: delivery of a SavedModel that both gates blessed."""

from components.saved_model_pusher.component import SavedModelPusher as SavedModelPusher
