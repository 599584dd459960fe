// The executable: a prompt, or scripts that run unattended. See `midtrain --help`.
import Glibc

exit(run(CommandLine.arguments))
