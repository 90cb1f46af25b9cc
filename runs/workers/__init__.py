"""Transport: jobs, pools of workers that do them, and the dispatcher, which sends them and waits for answers."""
