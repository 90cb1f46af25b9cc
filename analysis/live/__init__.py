"""Pages that follow what they show: the page of a run while it goes on, and the runs of a folder side by side."""
