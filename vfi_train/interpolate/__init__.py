"""Between files and the network: reading, planning of times, computing, writing.

A source (`sources`) gives frames with the times at which they appear; a plan (`timing`) says which times are wanted;
`pairs` says between which frames nothing is to be computed; the engine (`engine`) asks the network; a sink (`sinks`,
`video_sink`) writes. `pipeline` runs the three at once, in threads.
"""
