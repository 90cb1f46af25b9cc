"""Trainers at work: jobs, pools of workers, and the dispatcher that sends and waits."""
