//! Keys from Azure Key Vault and Managed HSM.
//!
//! How it meets the contract. *Remote* custody: the keys of a ring are the versions of one vault key. The tags of each
//! version store everything for which the vault has no field, and are written by the call that creates the version
//! (`tags.rs`). The vault does not settle races, so two replicas may both create a successor, which the schedule
//! tolerates. Every signature request names its version, and the answer must name it too. Versions cannot be deleted
//! one by one: a destroyed version is disabled, not valid before the year 3000, and no longer listed. *Sealed* custody:
//! a sealer with an RSA key of the vault, which encrypts to the key and makes the key sign the result (`sealer.rs`,
//! decision 0011), and a ring store in Blob Storage.
//!
//! This crate does not know the schedule or its callers. It reads no environment; variables are arguments. The only
//! exception is the SDK's managed identity, which reads `IDENTITY_ENDPOINT` and `IDENTITY_HEADER` itself.
//!
//! The entry points are [`remote`], [`sealer()`] and [`store()`].

mod blob;
mod check;
mod client;
mod config;
mod credential_source;
mod error;
mod http;
mod identity;
mod jwk;
mod provider;
mod ring;
mod sealer;
mod store;
mod tags;

use signet_api::Variable;

pub use config::AzureConfig;
pub use provider::remote;
pub use sealer::sealer;
pub use store::store;

/// The provider's name in settings, logs and metrics.
pub const NAME: &str = "azure-key-vault";

/// All variables that this crate reads, with the names that Azure's own tools use.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "AZURE_FEDERATED_TOKEN_FILE",
        help: "Workload identity: the file with the pod's token. Set by AKS; needs AZURE_TENANT_ID and AZURE_CLIENT_ID",
    },
    Variable {
        name: "AZURE_TENANT_ID",
        help: "Tenant of the workload identity or of the application with a secret",
    },
    Variable {
        name: "AZURE_CLIENT_ID",
        help: "Application of the workload identity or of the secret; for managed identity, the user-assigned one",
    },
    Variable {
        name: "AZURE_CLIENT_SECRET",
        help: "Secret of the application",
    },
    Variable {
        name: "AZURE_CLIENT_CERTIFICATE_PATH",
        help: "Not supported, because the SDK's certificate credential needs OpenSSL; the error says what to use \
             instead",
    },
    Variable {
        name: "AZURE_AUTHORITY_HOST",
        help: "Entra's URL in a sovereign cloud, such as https://login.microsoftonline.us",
    },
    Variable {
        name: "AZURE_TOKEN_CREDENTIALS",
        help: "WorkloadIdentityCredential, ManagedIdentityCredential or EnvironmentCredential: use only this one",
    },
    Variable {
        name: "IDENTITY_ENDPOINT",
        help: "Managed identity of App Service and Container Apps; set by them, and read by the SDK itself",
    },
    Variable {
        name: "IDENTITY_HEADER",
        help: "The secret that goes with IDENTITY_ENDPOINT; read by the SDK itself",
    },
    Variable {
        name: "AZURE_KEY_VAULT_PROTECTION",
        help: "hsm: new keys of a ring are created in the vault's hardware (Premium vaults); the default is software",
    },
    Variable {
        name: "AZURE_STORAGE_ACCOUNT_KEY",
        help: "Store az://: the account's shared key, instead of an identity",
    },
    Variable {
        name: "AZURE_STORAGE_ENDPOINT",
        help: "Store az://: the blob endpoint, if it is not https://<account>.blob.core.windows.net",
    },
    Variable {
        name: "SSL_CERT_FILE",
        help: "File of certificates (PEM) that are trusted instead of the system's",
    },
];
