//! What is done about several servers as a whole, as it is typed.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::sharing::{NodeName, RedisUrl};

/// The servers that share a log, as one of them sees them.
#[derive(Debug, Clone, Args)]
pub struct ClusterWhere {
    /// Data folder of one of the servers
    #[arg(long, env = "CHAT_SERVER_DATA", value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
    /// The Redis in which they share their log
    #[arg(long, env = "CHAT_SERVER_REDIS", value_name = "URL")]
    pub redis: RedisUrl,
    /// What the servers are called together
    #[arg(long, env = "CHAT_SERVER_CLUSTER", value_name = "NAME", default_value = "chat")]
    pub cluster: NodeName,
    /// The key that the servers share [default: cluster.key beside the data folder]
    #[arg(long, env = "CHAT_SERVER_CLUSTER_KEY", value_name = "FILE")]
    pub cluster_key: Option<PathBuf>,
}

/// What is done about them.
#[derive(Debug, Subcommand)]
pub enum ClusterCommand {
    /// Print what everything in a data folder comes to: equal on all servers at one turn, and before and after a move
    Digest {
        /// Data folder of a server, which may run
        #[arg(long, env = "CHAT_SERVER_DATA", value_name = "DIR", default_value = "data")]
        data: PathBuf,
    },
    /// Make the data folder of a further server, or of one that was away for too long, from that of a server which may
    /// run
    Snapshot {
        /// What the server is called that gets it
        #[arg(long = "name", value_name = "NAME")]
        node: NodeName,
        /// The folder to make
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Which servers
        #[command(flatten)]
        at: ClusterWhere,
    },
    /// Let the servers go on that wait because Redis has lost something, without one that may have more of it; what
    /// only that one has is then not in the log
    Open {
        /// Without whom; none where one server is alone and has everything
        #[arg(long, value_name = "NAME", value_delimiter = ',')]
        without: Vec<NodeName>,
        /// Which servers
        #[command(flatten)]
        at: ClusterWhere,
    },
}
