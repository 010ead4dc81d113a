//! Who wrote a message and who has received it: signatures, checked without a connection.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use chat_protocol::id::MessageId;
use chat_protocol::name::UserName;
use clap::Args;

use super::history::open;
use super::{note, print_json, print_line};
use crate::config::{Common, Verbosity, names};
use crate::exit::ExitStatus;
use crate::start::Failure;
use chat_device::history::proof::{self, Material, MaterialError, Proof, ProofError, file};
use chat_device::home::file::write_atomically;
use chat_text::history;
use chat_text::show::{Detail, Lines};

/// What is checked: a message of the home, or a file that was exported.
#[derive(Debug, Clone, PartialEq, Args)]
pub struct ProofOf {
    /// Message id, as `history --json` shows it
    #[arg(required_unless_present = "verify", value_parser = names::message)]
    pub id: Option<MessageId>,
    /// Write the proof to a file that others can check
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// Let whoever has the file read the text too
    #[arg(long, requires = "export")]
    pub with_text: bool,
    /// Check such a file; needs no account
    #[arg(long, value_name = "FILE", conflicts_with_all = ["id", "export"])]
    pub verify: Option<PathBuf>,
}

impl ProofOf {
    /// Prints what was checked; fails with [`ExitStatus::Integrity`] if anything does not hold.
    pub fn run(&self, common: &Common) -> Result<ExitStatus, Failure> {
        let mut status = ExitStatus::Ok;
        if let Some(path) = &self.verify {
            let proof = read(path)?.check().map_err(|error| unproven(&error))?;
            status = print(common, &proof)?;
        }
        let Some(id) = &self.id else { return Ok(status) };
        for (material, proof) in of_home(common, id)? {
            if print(common, &proof)? != ExitStatus::Ok {
                status = ExitStatus::Integrity;
            } else if let Some(path) = &self.export {
                let material = if self.with_text { material } else { material.without_text() };
                write_atomically(path, &file::write(&material))?;
                if !common.json && common.verbosity > Verbosity::Quiet {
                    note(&format!("written to {}", path.display()));
                }
            }
        }
        Ok(status)
    }
}

/// The proofs of a message in the home: one, unless several people have chosen the same id.
fn of_home(common: &Common, id: &MessageId) -> Result<Vec<(Material, Proof)>, Failure> {
    let (history, own) = open(common, true)?;
    let failed = |reason: String| Failure::Other { status: ExitStatus::Failure, reason };
    let entries = history.by_id(id)?;
    if entries.is_empty() {
        return Err(failed(format!(
            "no message of this home has the id {id}; `history --json` shows ids"
        )));
    }
    let mut proofs = Vec::new();
    for entry in &entries {
        match proof::prove(&history, &own, entry) {
            Ok(proof) => proofs.extend(proof),
            Err(MaterialError::Home(error)) => return Err(error.into()),
            Err(MaterialError::Proof(error)) => return Err(unproven(&error)),
        }
    }
    if proofs.is_empty() {
        return Err(failed(format!(
            "nothing proves {id}: it has not been sent, or could not be read"
        )));
    }
    Ok(proofs)
}

fn read(path: &Path) -> Result<Material, Failure> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(file::FILE_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| Failure::Other {
            status: ExitStatus::Failure,
            reason: format!("cannot read {}: {error}", path.display()),
        })?;
    file::read(&bytes).map_err(|error| unproven(&error))
}

fn print(common: &Common, proof: &Proof) -> Result<ExitStatus, Failure> {
    if common.json {
        print_json(vec![history::proof_object(proof)])?;
    } else {
        let me = common.user.clone().unwrap_or_else(UserName::server);
        for line in history::proof_lines(&Lines::new(me, Detail::Full).with_dates(), proof) {
            print_line(&line)?;
        }
    }
    Ok(if proof.is_verified() { ExitStatus::Ok } else { ExitStatus::Integrity })
}

fn unproven(error: &ProofError) -> Failure {
    Failure::Other { status: ExitStatus::Integrity, reason: error.to_string() }
}
