//! `GET /info`: the daemon and the machine under it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tolerant::null_as_default;

/// The body of the answer to `GET /info`.
///
/// Docker's clients read members about containers and networks too, and some fail when they are absent; [`Info::default`] fills those with
/// what is true of a daemon that keeps images only. The comments speak of the others.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
#[expect(
    missing_docs,
    reason = "half of the members are there only because docker's clients expect them, always empty"
)]
pub struct Info {
    /// A name that is the store's own and stays.
    #[serde(rename = "ID", deserialize_with = "null_as_default")]
    pub id: String,
    pub containers: u64,
    pub containers_running: u64,
    pub containers_paused: u64,
    pub containers_stopped: u64,
    /// How many images there are.
    pub images: u64,
    /// The file system that stacks the layers.
    #[serde(deserialize_with = "null_as_default")]
    pub driver: String,
    /// Facts about the store, a name and a value each, in the order they are shown.
    #[serde(deserialize_with = "null_as_default")]
    pub driver_status: Vec<(String, String)>,
    #[serde(deserialize_with = "null_as_default")]
    pub plugins: Plugins,
    pub memory_limit: bool,
    pub swap_limit: bool,
    #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "std::ops::Not::not")]
    pub kernel_memory_tcp: bool,
    pub cpu_cfs_period: bool,
    pub cpu_cfs_quota: bool,
    #[serde(rename = "CPUShares")]
    pub cpu_shares: bool,
    #[serde(rename = "CPUSet")]
    pub cpu_set: bool,
    pub pids_limit: bool,
    #[serde(rename = "IPv4Forwarding")]
    pub ipv4_forwarding: bool,
    /// Whether the daemon logs at its most talkative.
    pub debug: bool,
    /// How many files it has open.
    #[serde(rename = "NFd")]
    pub open_files: u64,
    pub oom_kill_disable: bool,
    #[serde(rename = "NGoroutines")]
    pub goroutines: u64,
    /// The daemon's clock, RFC 3339.
    #[serde(deserialize_with = "null_as_default")]
    pub system_time: String,
    #[serde(deserialize_with = "null_as_default")]
    pub logging_driver: String,
    #[serde(deserialize_with = "null_as_default")]
    pub cgroup_driver: String,
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "null_as_default")]
    pub cgroup_version: String,
    #[serde(rename = "NEventsListener")]
    pub events_listeners: u64,
    /// The release of the running kernel.
    #[serde(deserialize_with = "null_as_default")]
    pub kernel_version: String,
    /// The distribution, in its own words.
    #[serde(deserialize_with = "null_as_default")]
    pub operating_system: String,
    #[serde(rename = "OSVersion", deserialize_with = "null_as_default")]
    pub os_version: String,
    /// The operating system: `linux`.
    #[serde(rename = "OSType", deserialize_with = "null_as_default")]
    pub os_type: String,
    /// The processor as the kernel calls it: `x86_64`.
    #[serde(deserialize_with = "null_as_default")]
    pub architecture: String,
    /// The registry behind names without a host.
    #[serde(deserialize_with = "null_as_default")]
    pub index_server_address: String,
    /// How registries are reached.
    pub registry_config: Option<RegistryConfig>,
    /// How many processors there are.
    #[serde(rename = "NCPU")]
    pub cpus: u64,
    /// The machine's memory in bytes.
    pub mem_total: u64,
    pub generic_resources: Option<Value>,
    /// The folder of the store.
    #[serde(deserialize_with = "null_as_default")]
    pub docker_root_dir: String,
    /// The proxy for plain requests, without its password.
    #[serde(deserialize_with = "null_as_default")]
    pub http_proxy: String,
    /// The proxy for encrypted requests, without its password.
    #[serde(deserialize_with = "null_as_default")]
    pub https_proxy: String,
    /// The hosts that are reached without a proxy.
    #[serde(deserialize_with = "null_as_default")]
    pub no_proxy: String,
    /// The machine's name.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    #[serde(deserialize_with = "null_as_default")]
    pub labels: Vec<String>,
    pub experimental_build: bool,
    /// The version of the daemon.
    #[serde(deserialize_with = "null_as_default")]
    pub server_version: String,
    #[serde(deserialize_with = "null_as_default")]
    pub runtimes: BTreeMap<String, Value>,
    #[serde(deserialize_with = "null_as_default")]
    pub default_runtime: String,
    #[serde(deserialize_with = "null_as_default")]
    pub swarm: Swarm,
    pub live_restore_enabled: bool,
    #[serde(deserialize_with = "null_as_default")]
    pub isolation: String,
    #[serde(deserialize_with = "null_as_default")]
    pub init_binary: String,
    #[serde(deserialize_with = "null_as_default")]
    pub containerd_commit: Commit,
    #[serde(deserialize_with = "null_as_default")]
    pub runc_commit: Commit,
    #[serde(deserialize_with = "null_as_default")]
    pub init_commit: Commit,
    #[serde(deserialize_with = "null_as_default")]
    pub security_options: Vec<String>,
    #[serde(rename = "CDISpecDirs", deserialize_with = "null_as_default")]
    pub cdi_spec_dirs: Vec<String>,
    /// What a person should know, one sentence each; `null` for nothing.
    pub warnings: Option<Vec<String>>,
}

impl Default for Info {
    fn default() -> Self {
        Self {
            id: String::new(),
            containers: 0,
            containers_running: 0,
            containers_paused: 0,
            containers_stopped: 0,
            images: 0,
            driver: "overlayfs".into(),
            driver_status: Vec::new(),
            plugins: Plugins::default(),
            memory_limit: true,
            swap_limit: true,
            kernel_memory_tcp: false,
            cpu_cfs_period: true,
            cpu_cfs_quota: true,
            cpu_shares: true,
            cpu_set: true,
            pids_limit: true,
            ipv4_forwarding: true,
            debug: false,
            open_files: 0,
            oom_kill_disable: true,
            goroutines: 0,
            system_time: String::new(),
            logging_driver: String::new(),
            cgroup_driver: "none".into(),
            cgroup_version: String::new(),
            events_listeners: 0,
            kernel_version: String::new(),
            operating_system: String::new(),
            os_version: String::new(),
            os_type: "linux".into(),
            architecture: String::new(),
            index_server_address: "https://index.docker.io/v1/".into(),
            registry_config: None,
            cpus: 0,
            mem_total: 0,
            generic_resources: None,
            docker_root_dir: String::new(),
            http_proxy: String::new(),
            https_proxy: String::new(),
            no_proxy: String::new(),
            name: String::new(),
            labels: Vec::new(),
            experimental_build: false,
            server_version: String::new(),
            runtimes: BTreeMap::new(),
            default_runtime: String::new(),
            swarm: Swarm::default(),
            live_restore_enabled: false,
            isolation: String::new(),
            init_binary: String::new(),
            containerd_commit: Commit::default(),
            runc_commit: Commit::default(),
            init_commit: Commit::default(),
            security_options: Vec::new(),
            cdi_spec_dirs: Vec::new(),
            warnings: None,
        }
    }
}

/// The plugins of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Plugins {
    /// For volumes.
    pub volume: Option<Vec<String>>,
    /// For networks.
    pub network: Option<Vec<String>>,
    /// For who may do what.
    pub authorization: Option<Vec<String>>,
    /// For logs of containers.
    pub log: Option<Vec<String>>,
}

/// How registries are reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct RegistryConfig {
    /// Registries with settings of their own, by name.
    #[serde(deserialize_with = "null_as_default")]
    pub index_configs: BTreeMap<String, IndexConfig>,
    /// Networks whose registries need no valid certificate.
    #[serde(rename = "InsecureRegistryCIDRs", deserialize_with = "null_as_default")]
    pub insecure_registry_cidrs: Vec<String>,
    /// Mirrors of Docker Hub; `null` for none.
    pub mirrors: Option<Vec<String>>,
}

/// How one registry is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct IndexConfig {
    /// Its mirrors.
    #[serde(deserialize_with = "null_as_default")]
    pub mirrors: Vec<String>,
    /// Its name.
    #[serde(deserialize_with = "null_as_default")]
    pub name: String,
    /// Whether it is Docker Hub.
    pub official: bool,
    /// Whether its certificate must be valid.
    pub secure: bool,
}

/// The state of the swarm: there is none.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "PascalCase", default)]
pub struct Swarm {
    /// Always empty.
    #[serde(rename = "NodeID", deserialize_with = "null_as_default")]
    pub node_id: String,
    /// Always empty.
    #[serde(deserialize_with = "null_as_default")]
    pub node_addr: String,
    /// Always `inactive`.
    #[serde(deserialize_with = "null_as_default")]
    pub local_node_state: String,
    /// Always false.
    pub control_available: bool,
    /// Always empty.
    #[serde(deserialize_with = "null_as_default")]
    pub error: String,
    /// Always `null`.
    pub remote_managers: Option<Value>,
}

impl Default for Swarm {
    fn default() -> Self {
        Self {
            node_id: String::new(),
            node_addr: String::new(),
            local_node_state: "inactive".into(),
            control_available: false,
            error: String::new(),
            remote_managers: None,
        }
    }
}

/// The commit of a helper program.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(default)]
pub struct Commit {
    /// The commit; empty for a program that there is none of.
    #[serde(rename = "ID", deserialize_with = "null_as_default")]
    pub id: String,
}
