"""The names by which MLflow's own command hands its options to the web server are the ones used here."""

from importlib import import_module

from mlflow.server import constants

from infra.mlflow import server as mlflow_server


def test_the_servers_options_still_have_the_names_used_here() -> None:
    assert mlflow_server.STORE_VARIABLE == constants.BACKEND_STORE_URI_ENV_VAR
    assert mlflow_server.ARTIFACT_ROOT_VARIABLE == constants.ARTIFACT_ROOT_ENV_VAR
    assert mlflow_server.ARTIFACTS_VARIABLE == constants.ARTIFACTS_DESTINATION_ENV_VAR
    assert mlflow_server.SERVE_ARTIFACTS_VARIABLE == constants.SERVE_ARTIFACTS_ENV_VAR


def test_the_web_application_is_where_it_was() -> None:
    module, name = mlflow_server.APPLICATION.split(":")
    assert hasattr(import_module(module), name)
