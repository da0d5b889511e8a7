package main

import _ "time/tzdata" // schedules know the time zones on machines that have no list of them
