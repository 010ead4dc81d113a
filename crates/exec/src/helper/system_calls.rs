//! System calls that no command needs (seccomp): a deny list, since programs differ too much for an
//! allow list. A denied call returns EPERM; a program for another architecture is killed.

use std::collections::BTreeMap;

use nix::libc;
use seccompiler::{
    BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

/// Mounting, namespaces, other processes' memory, the kernel itself, keys, time, and interfaces
/// that go around this filter (`io_uring`).
const DENIED: [i64; 52] = [
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
    libc::SYS_unshare,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_kcmp,
    libc::SYS_pidfd_getfd,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
    libc::SYS_name_to_handle_at,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
];

/// `clone` with one of these makes a namespace.
const NAMESPACE_FLAGS: [i32; 7] = [
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNS,
    libc::CLONE_NEWNET,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWCGROUP,
];

/// On x86-64 a kernel may offer each call a second time with this bit (the x32 interface).
const X32_BIT: i64 = 0x4000_0000;

/// Calls that have numbers of their own in the x32 interface: ptrace, `kexec_load`,
/// `process_vm_readv`, `process_vm_writev`, `move_pages`, vmsplice's neighbours excluded.
const X32_ONLY: [i64; 5] = [521, 528, 533, 539, 540];

/// Denies the calls from here on. On success nothing; otherwise what the log should say.
pub(super) fn deny(network: bool) -> Option<String> {
    let Ok(arch) = TargetArch::try_from(std::env::consts::ARCH) else {
        return Some("unsupported".to_owned());
    };
    install(arch, network).err().map(|error| format!("off({error})").replace(' ', "-"))
}

fn install(arch: TargetArch, network: bool) -> Result<(), Error> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> =
        DENIED.into_iter().map(|call| (call, Vec::new())).collect();
    rules.insert(libc::SYS_clone, namespace_rules()?);
    if !network {
        let other_family = condition(0, SeccompCmpOp::Ne, i64::from(libc::AF_UNIX))?;
        rules.insert(libc::SYS_socket, vec![SeccompRule::new(vec![other_family])?]);
    }
    if arch == TargetArch::x86_64 {
        let twins: Vec<_> =
            rules.iter().map(|(call, conditions)| (call | X32_BIT, conditions.clone())).collect();
        rules.extend(twins);
        rules.extend(X32_ONLY.map(|call| (call | X32_BIT, Vec::new())));
    }
    apply(rules, libc::EPERM, arch)?;
    // The flags of clone3 lie in memory, where a filter cannot look. "Not implemented" sends every
    // C library back to clone.
    apply(BTreeMap::from([(libc::SYS_clone3, Vec::new())]), libc::ENOSYS, arch)
}

fn apply(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    errno: i32,
    arch: TargetArch,
) -> Result<(), Error> {
    let denied = SeccompAction::Errno(errno.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denied, arch)?;
    let program: BpfProgram = filter.try_into()?;
    apply_filter(&program)
}

/// One rule per flag: any of them set is enough.
fn namespace_rules() -> Result<Vec<SeccompRule>, Error> {
    let rules = NAMESPACE_FLAGS.map(i64::from).map(|flag| {
        let masked = SeccompCmpOp::MaskedEq(flag.unsigned_abs());
        Ok(SeccompRule::new(vec![condition(0, masked, flag)?])?)
    });
    rules.into_iter().collect()
}

fn condition(argument: u8, operator: SeccompCmpOp, value: i64) -> Result<SeccompCondition, Error> {
    let value = value.unsigned_abs();
    Ok(SeccompCondition::new(argument, SeccompCmpArgLen::Dword, operator, value)?)
}
