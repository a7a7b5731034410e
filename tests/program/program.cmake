# The command line program against its contract; run where it was built.
if(TARGET kinema)
  add_test(NAME program COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/program/program_test.sh $<TARGET_FILE:kinema> ${CMAKE_CURRENT_SOURCE_DIR}/..)
  add_test(NAME program_runs COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/program/runs_test.sh $<TARGET_FILE:kinema>)
  add_test(NAME program_kill COMMAND bash ${CMAKE_CURRENT_SOURCE_DIR}/program/kill_test.sh $<TARGET_FILE:kinema> 15)
  set_tests_properties(program program_runs program_kill PROPERTIES LABELS program TIMEOUT 900)
endif()
