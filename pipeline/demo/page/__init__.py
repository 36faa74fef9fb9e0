"""The files of the demo's page. A package, so that they are found wherever edgetune is installed."""
