# Completion for bash: commands and options, then files.
_midtrain() {
  local word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
  case $previous in
    --set | -e | -l) return ;;
    --out | attach | set | replay | doctor)
      mapfile -t COMPREPLY < <(compgen -d -- "$word")
      return ;;
  esac
  if [[ $previous == info ]]; then
    mapfile -t COMPREPLY < <(compgen -f -X '!*.gguf' -- "$word"; compgen -d -- "$word")
  elif [[ ${COMP_WORDS[1]} == run && $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W '--set --out --resume' -- "$word")
  elif [[ $word == -* ]]; then
    mapfile -t COMPREPLY < <(compgen -W '-e -l -i -v --version -h --help' -- "$word")
  else
    local commands=''
    [[ $COMP_CWORD -gt 1 ]] || commands='run attach set replay pull doctor info help'
    mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word"; compgen -f -X '!*.lua' -- "$word"; compgen -d -- "$word")
  fi
}
complete -o filenames -F _midtrain midtrain
