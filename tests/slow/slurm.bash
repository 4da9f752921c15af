# SPDX-License-Identifier: MIT
#
# A Slurm cluster of one machine for a test: munged, slurmctld and slurmd with all
# their files under DIR.  Needs root, as slurmd does.

# slurm_start DIR
slurm_start() {
	local dir=$1 host cpus
	host=$(hostname -s)
	cpus=$(nproc)
	mkdir -p "$dir"/{munge,state,spool}
	chmod 700 "$dir/munge"
	head -c 1024 /dev/urandom >"$dir/munge/key"
	chmod 400 "$dir/munge/key"
	# Its own daemon: the system's, if there is one, is left alone.
	munged --key-file="$dir/munge/key" --socket="$dir/munge/socket" --pid-file="$dir/munge/pid" \
		--log-file="$dir/munge/log" --seed-file="$dir/munge/seed" --force
	cat >"$dir/slurm.conf" <<-END
		ClusterName=test
		SlurmctldHost=$host
		SlurmUser=root
		SlurmdUser=root
		AuthType=auth/munge
		AuthInfo=socket=$dir/munge/socket
		CredType=cred/munge
		SlurmctldPort=$((20000 + RANDOM % 10000))
		SlurmdPort=$((30000 + RANDOM % 10000))
		SlurmctldPidFile=$dir/slurmctld.pid
		SlurmdPidFile=$dir/slurmd.pid
		SlurmctldLogFile=$dir/slurmctld.log
		SlurmdLogFile=$dir/slurmd.log
		StateSaveLocation=$dir/state
		SlurmdSpoolDir=$dir/spool
		ProctrackType=proctrack/linuxproc
		TaskPlugin=task/none
		JobAcctGatherType=jobacct_gather/none
		SelectType=select/cons_tres
		SelectTypeParameters=CR_Core
		ReturnToService=2
		SchedulerParameters=sched_interval=1
		MinJobAge=300
		NodeName=$host NodeAddr=127.0.0.1 CPUs=$cpus State=UNKNOWN
		PartitionName=test Nodes=$host Default=YES MaxTime=INFINITE State=UP
	END
	export SLURM_CONF=$dir/slurm.conf
	slurmctld -c
	slurmd -c
	for _ in $(seq 60); do
		[ "$(sinfo -h -o %t 2>/dev/null)" != idle ] || return 0
		sleep 0.5
	done
	cat "$dir"/slurm*.log
	return 1
}

# slurm_stop DIR
slurm_stop() {
	local pid
	for pid in "$1"/slurmd.pid "$1"/slurmctld.pid "$1"/munge/pid; do
		[ ! -e "$pid" ] || kill "$(cat "$pid")" || true
	done
}
