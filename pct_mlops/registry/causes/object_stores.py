"""Causes that lie in the store of the artifacts: S3 and what speaks like it, Google, Azure."""

from __future__ import annotations

from pct_mlops.errors import RegistryForbiddenError, RegistryNotFoundError
from pct_mlops.registry.causes.cause import Cause

_AWS = "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"

OBJECT_STORE: tuple[Cause, ...] = (
    Cause(
        "certificate of the object store",
        "The certificate of the object store cannot be checked ({doing}): set AWS_CA_BUNDLE to the certificate file of "
        "the authority that signed it.",
        signs=("botocore.SSLError",),
    ),
    Cause(
        "no credentials for the object store",
        f"This machine has no credentials for the object store ({{doing}}): set {_AWS}, and MLFLOW_S3_ENDPOINT_URL for "
        "a store that is not Amazon's.",
        signs=("botocore.NoCredentialsError", "botocore.PartialCredentialsError", "botocore.TokenRetrievalError"),
        words="NoCredentialsError|Unable to locate credentials",
        kind=RegistryForbiddenError,
    ),
    Cause(
        "wrong credentials for the object store",
        f"The object store does not know these credentials ({{doing}}): correct {_AWS}, and AWS_SESSION_TOKEN where it "
        "is set.",
        signs=("s3 InvalidAccessKeyId", "s3 SignatureDoesNotMatch", "s3 ExpiredToken", "s3 InvalidToken", "s3 401"),
        kind=RegistryForbiddenError,
    ),
    Cause(
        "no permission at the object store",
        "The object store does not allow this ({doing}): ask for the permissions s3:GetObject, s3:PutObject and "
        "s3:ListBucket on the bucket.",
        signs=("s3 AccessDenied", "s3 AllAccessDisabled", "s3 403"),
        kind=RegistryForbiddenError,
    ),
    Cause(
        "bucket gone",
        "The bucket that holds the artifacts is gone ({doing}; {detail}): create it again, or correct "
        "MLFLOW_S3_ENDPOINT_URL.",
        signs=("s3 NoSuchBucket",),
        kind=RegistryNotFoundError,
    ),
    Cause(
        "file gone from the object store",
        "The object store no longer holds the file ({doing}; {detail}): restore it from a backup.",
        signs=("s3 NoSuchKey", "s3 404"),
        kind=RegistryNotFoundError,
    ),
    Cause(
        "object store down",
        "The object store does not respond ({doing}; {detail}): start it, or correct MLFLOW_S3_ENDPOINT_URL.",
        signs=(
            "botocore.HTTPClientError",
            "botocore.ConnectionError",
            "s3 503",
            "s3 ServiceUnavailable",
            "s3 SlowDown",
        ),
        words="EndpointConnectionError|Could not connect to the endpoint URL",
    ),
    Cause(
        "no credentials for Google Cloud Storage",
        "This machine has no credentials for Google Cloud Storage ({doing}): set GOOGLE_APPLICATION_CREDENTIALS to a "
        "key file, or run 'gcloud auth application-default login'.",
        signs=("google.DefaultCredentialsError", "google.RefreshError", "google.Unauthorized", "google.Forbidden"),
        kind=RegistryForbiddenError,
    ),
    Cause(
        "no credentials for Azure",
        "Azure's object store does not accept this machine ({doing}): set AZURE_STORAGE_CONNECTION_STRING or "
        "AZURE_STORAGE_ACCESS_KEY.",
        signs=("azure.ClientAuthenticationError",),
        words="AZURE_STORAGE_ACCESS_KEY",
        kind=RegistryForbiddenError,
    ),
    Cause(
        "bucket of Google or Azure gone",
        "The bucket or container that holds the artifacts is gone ({doing}; {detail}): create it again.",
        signs=("google.NotFound", "azure.ResourceNotFoundError"),
        kind=RegistryNotFoundError,
    ),
    Cause(
        "Google or Azure does not respond",
        "The object store does not respond ({doing}; {detail}): check the network, and try again.",
        signs=("google.TransportError", "google.RetryError", "google.ServiceUnavailable", "azure.ServiceRequestError"),
    ),
)
