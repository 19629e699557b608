"""Runs on this host's accelerators or on a cluster. Nothing here imports JAX before a worker does.

The processes of a sweep, each started by the one to its left:

    sweep ─┬─ guard ─── interchange        Parsl's, which hands out the runs
           ├─ guard ─── pool ─┬─ worker    one for each GPU, or for some of the cores; on a cluster a guard and
           │                  └─ worker    a pool for each job
           └─ guard ─── report             at the end

What happens, and who acts then:

    Ctrl-C, SIGTERM         guards, and what they started, ignore it; the sweep writes "stop" into its lease, workers
                            save and give their runs back, and the sweep ends its guards (lease, guard, work)
    a second Ctrl-C         the sweep ends at once; then as after a kill
    kill -9 of the sweep    its lease is free: workers save and end, and guards kill what is left a few seconds later
    a worker is lost        its pool starts another; the run is handed out again and resumes (pool.Retries)
    a GPU fails             its worker notes that and ends; other GPUs get runs first (failing_gpus)
    a job ends              at its time limit, say: Parsl asks for another, runs go on as for a lost worker (blocks)
    the interchange ends    the sweep ends at once and says so (pool)
    a guard is killed       its interchange is killed with it, and pools end without one (interchange)
"""
