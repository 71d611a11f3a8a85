"""The dashboard: it shows the cluster live. Composition root: `app.create_app`."""
