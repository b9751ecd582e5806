#!/usr/bin/env bash
# slurm_e2e.sh PROGRAM DIR [EXPERIMENT]: runs an experiment as an array on a real Slurm that is started here by hand, with jobs killed, requeued,
# cancelled, preempted and warned on the way, and compares every byte of the store with that of a local run. Before that it interrupts the watch
# twice: the jobs must go on the first time, and be cancelled the second.
#
# It needs Debian's slurm-wlm and munge (apt-get install slurm-wlm munge), root, and ends what it starts. DISTURB is how many jobs are
# disturbed (20), EVERY the seconds between two (6), LEASE the workers' lease (6s), NODES the number of nodes (3), each of CPUS processors (2).
# LOCAL_STORE is the store of a finished local run of the same file by the same program; without it one is made below DIR.
set -euo pipefail

program=$(realpath "$1")
mkdir -p "$2"
dir=$(realpath "$2")
experiment=$(realpath "${3:-experiments/messy.yaml}")
disturb=${DISTURB:-20} lease=${LEASE:-6s} nodes=${NODES:-3} cpus=${CPUS:-2}

for tool in slurmctld slurmd munged sbatch squeue scontrol scancel; do
  command -v "$tool" >/dev/null || { echo "slurm_e2e: $tool is missing: apt-get install slurm-wlm munge"; exit 2; }
done
[ "$(id -u)" = 0 ] || { echo "slurm_e2e: the daemons need root"; exit 2; }

# The longest path of a munge socket is short, so Slurm's own files are below /tmp.
work=$(mktemp -d /tmp/slurm-e2e.XXXXXX)
pids=()
cleanup() {
  scancel --user="$(id -un)" >/dev/null 2>&1 || true
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  sleep 1
  for p in "${pids[@]}"; do kill -9 "$p" 2>/dev/null || true; done
  rm -rf "$work"
}
trap cleanup EXIT

mkdir -p "$work"/{munge,state,spool}
dd if=/dev/urandom of="$work/munge/key" bs=1 count=1024 2>/dev/null
chmod 700 "$work/munge"; chmod 400 "$work/munge/key"
munged --force --foreground 2>"$work/munge.out" --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" --seed-file="$work/munge/seed" --log-file="$work/munge/log" &
pids+=($!)
for _ in $(seq 50); do [ -S "$work/munge/socket" ] && break; sleep 0.1; done
chmod 711 "$work/munge" "$work"

host=$(hostname -s)
names="node[1-$nodes]"
port=$((20000 + RANDOM % 20000))
cat >"$work/slurm.conf" <<CONF
ClusterName=e2e
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$port
SlurmdPort=$((port + 1))
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket,cred_expire=5
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool/%n
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd-%n.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobCompType=jobcomp/filetxt
JobCompLoc=$work/ended.txt
ReturnToService=2
MpiDefault=none
SchedulerParameters=batch_sched_delay=1,sched_interval=2,sched_min_interval=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
KillWait=30
MaxArraySize=1001
SlurmdParameters=config_overrides
CONF
for i in $(seq "$nodes"); do
  echo "NodeName=node$i NodeHostname=$host NodeAddr=127.0.0.1 Port=$((port + 1 + i)) CPUs=$cpus RealMemory=16000" >>"$work/slurm.conf"
done
cat >>"$work/slurm.conf" <<CONF
PartitionName=low Nodes=$names Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=3 MaxTime=INFINITE State=UP
PartitionName=high Nodes=$names PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
CONF
export SLURM_CONF=$work/slurm.conf
slurmctld -D -c >"$work/ctld.out" 2>&1 & pids+=($!)
for i in $(seq "$nodes"); do
  mkdir -p "$work/spool/node$i"
  slurmd -D -N "node$i" >"$work/slurmd$i.out" 2>&1 & pids+=($!)
done
for _ in $(seq 100); do [ "$(sinfo -h -o %t -p low 2>/dev/null | sort -u)" = idle ] && break; sleep 0.2; done
sinfo -p low
[ "$(sinfo -h -o %t -p low | sort -u)" = idle ] || { cat "$work"/ctld.out "$work"/slurmd*.out; tail -20 "$work"/*.log; exit 1; }

contents() { (cd "$1" && find index objects -type f | LC_ALL=C sort | xargs sha256sum | sha256sum); }

dir=$dir/$(basename "$experiment" .yaml)
mkdir -p "$dir"
reference=${LOCAL_STORE:-$dir/local}
made=$(cat "$program" "$experiment" | sha256sum)
if [ -z "${LOCAL_STORE:-}" ] && [ "$(cat "$dir/local.done" 2>/dev/null)" != "$made" ]; then
  rm -rf "$dir/local"
  begun=$SECONDS
  "$program" run "$experiment" --store "$dir/local" -o "$dir/report-local" >"$dir/local.out" 2>"$dir/local.err" || { tail "$dir/local.err"; exit 1; }
  echo "$made" >"$dir/local.done"
  echo "the local run took $((SECONDS - begun)) s"
fi

rm -rf "$dir/cluster" "$dir/report-cluster"
watch() { # watch NAME [FLAG]: the command of a user, in the background
  local name=$1
  shift
  "$program" run "$experiment" --store "$dir/cluster" -o "$dir/report-cluster" --on slurm --partition low --jobs "$nodes" --cpus "$cpus" \
    --lease "$lease" --poll 1s "$@" >"$dir/$name.out" 2>"$dir/$name.err" &
  run=$!
  pids+=("$run")
}
await() { # await WHAT COMMAND: a minute for a command to succeed
  local what=$1
  shift
  for _ in $(seq 300); do "$@" && return; sleep 0.2; done
  echo "slurm_e2e: waited in vain: $what"
  tail -5 "$dir"/*.err "$dir"/cluster/runs/slurm-*.log
  exit 1
}
jobs_running() { [ "$(squeue -h -r -t RUNNING -p low -o %i | wc -l)" -ge 1 ]; }
no_jobs() { [ -z "$(squeue -h -r -p low -o %i)" ]; }
interrupt() { # as Ctrl-C does
  local rc=0
  kill -INT "$run"
  wait "$run" || rc=$?
  [ "$rc" = 130 ] || { echo "slurm_e2e: an interrupted watch ended with $rc, not 130"; exit 1; }
}

watch first
await "for a job to run" jobs_running
interrupt
jobs_running || { echo "slurm_e2e: Ctrl-C without --cancel ended the jobs"; exit 1; }
watch second --cancel
sleep 3
[ "$(squeue -h -r -p low -o %i | wc -l)" -le "$nodes" ] || { echo "slurm_e2e: the second watch submitted jobs though there were enough"; exit 1; }
interrupt
await "for Ctrl-C with --cancel to cancel the jobs" no_jobs
echo "Ctrl-C: left the jobs alone without --cancel, cancelled them with it"

begun=$SECONDS
watch cluster --cancel

# Each disturbance takes a running job, in turn: a kill of its process, a requeue, a cancellation, a job of a higher partition that wants its
# node, and the signal that Slurm sends before a job's time is over, at which the job saves its state and requeues itself.
n=0 warned=0 kinds=(kill requeue cancel preempt warn)
while kill -0 $run 2>/dev/null && [ $n -lt "$disturb" ]; do
  sleep "${EVERY:-6}"
  job=$(squeue -h -r -t RUNNING -p low -o %i | shuf -n 1 --random-source=<(yes $n))
  [ -n "$job" ] || continue
  kind=${kinds[$((n % ${#kinds[@]}))]}
  case $kind in
    kill) pid=$(grep -ho "\"pid\":[0-9]*,\"job\":\"$job\"" "$dir"/cluster/workers/*.json | tail -1 | grep -o '[0-9]*' | head -1) && [ -n "$pid" ] && kill -9 "$pid" ;;
    requeue) scontrol requeue "$job" ;;
    cancel) scancel "$job" ;;
    preempt) sbatch --parsable -p high --nodelist="$(squeue -h -j "$job" -o %N)" --exclusive --time=1 --output=/dev/null --wrap 'sleep 2' >/dev/null ;;
    warn) scancel --batch --signal=USR2 "$job" && warned=$((warned + 1)) ;;
  esac || continue
  n=$((n + 1))
  echo "$n: $kind $job, after $((SECONDS - begun)) s"
done
wait $run || { echo "run --on slurm ended with $?"; tail -30 "$dir/cluster.err"; tail -5 "$dir"/cluster/runs/slurm-*.log; exit 1; }

echo "disturbed $n jobs in $((SECONDS - begun)) s; ends of jobs: $(grep -o 'JobState=[A-Z_]*' "$work/ended.txt" | sort | uniq -c | tr '\n' ' ')"
again=$(cat "$dir"/cluster/runs/slurm-*.log | grep -c 'asked for its place in the queue again' || true)
echo "$warned jobs were warned, $again requeued themselves"
one=$(contents "$reference") two=$(contents "$dir/cluster")
echo "local   $one"
echo "cluster $two"
[ "$one" = "$two" ] || { echo "slurm_e2e: other bytes"; exit 1; }
python3 "$(dirname "$0")/slurm_e2e.py" "$dir/cluster/runs" "$n" "${INTERVAL:-100}"
[ "$n" -ge "$disturb" ] || { echo "slurm_e2e: the experiment ended after $n of $disturb disturbances"; exit 1; }
[ "$warned" = 0 ] || [ "$again" -gt 0 ] || { echo "slurm_e2e: no job requeued itself"; exit 1; }
